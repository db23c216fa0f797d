import pytest
import torch

from semicl_monai.networks import StridedDynUNet, layout_of


def network(strides=(2, 2), **options):
    dims = len(strides)
    levels = [list(strides), [2] * dims, [2] * dims]
    return StridedDynUNet(dims, 1, 3, [[3] * dims] * 3, levels, levels[1:], filters=[4, 8, 8], **options).eval()


@pytest.mark.parametrize(("strides", "size"), [((2, 2), (16, 24)), ((2, 2, 2), (16, 8, 8)), ((2, 2, 1), (16, 16, 8))])
def test_the_output_has_the_size_of_the_image(strides, size):
    assert network(strides)(torch.zeros(2, 1, *size)).shape == (2, 3, *size)


def test_no_level_has_the_resolution_of_the_image():
    unet, sizes = network(), []
    for module in unet.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(lambda *call: sizes.append(call[-1].shape[-1]))
    unet(torch.zeros(1, 1, 16, 16))
    assert max(sizes) == 8


def test_each_voxel_of_a_block_has_weights_of_its_own():
    unet = network((2, 2, 1))
    layer, maps = unet.output_block.conv, torch.randn(1, 4, 3, 2, 5)
    logits = unet.output_block(maps)
    for row, column in [(0, 0), (0, 1), (1, 0), (1, 1)]:
        for y in range(3):
            for x in range(2):
                for z in range(5):
                    wanted = layer.weight[:, :, row, column, 0].T @ maps[0, :, y, x, z] + layer.bias
                    assert torch.allclose(logits[0, :, 2 * y + row, 2 * x + column, z], wanted, atol=1e-5)


def test_levels_of_deep_supervision_have_the_size_of_the_image():
    unet = network(deep_supervision=True, deep_supr_num=1).train()
    assert unet(torch.zeros(2, 1, 16, 16)).shape == (2, 2, 3, 16, 16)


def test_its_parts_are_those_of_a_dyn_unet():
    unet = network(deep_supervision=True, deep_supr_num=1)
    layout = layout_of(unet)
    classifier = {name for name in unet.state_dict() if layout.is_classifier(name)}
    assert {name.split(".")[0] for name in classifier} == {"output_block", "deep_supervision_heads"}


def test_it_can_be_scripted():
    unet, image = network(), torch.randn(1, 1, 16, 16)
    assert torch.allclose(torch.jit.script(unet)(image), unet(image), atol=1e-6)
