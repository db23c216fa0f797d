from .chaitanya_global import ChaitanyaGlobal
from .chaitanya_global_local import ChaitanyaGlobalLocal
from .cross_teaching import CrossTeachingMethod
from .fine_tuning import FineTuningMethod, Random
from .global_local import GlobalLocal
from .joint import Joint
from .local import Local
from .local_pseudo import LocalPseudoMethod
from .local_self_training import LocalSelfTrainingMethod
from .mean_teacher import MeanTeacherMethod
from .method import Method
from .mixup import Mixup
from .of_run import fine_tuning_of, method_of_run
from .parameters import parameter_groups
from .pcl import PCL
from .pirl import PIRL
from .pretraining import PretrainingMethod
from .registry import METHODS, add_method, build_method, find_method, objectives_of, stages_of
from .rotation import Rotation
from .run import build_pretraining, run_pretraining, stages_to_run
from .schedule import epochs_of
from .self_training import SelfTrainingMethod
from .semi_supervised import SemiSupervisedMethod
from .simclr import SimCLR
from .tcsm import TCSM

add_method("random", Random)
add_method("rotation", Rotation)
add_method("pirl", PIRL)
add_method("simclr", SimCLR)
add_method("global", SimCLR, does="The same as simclr.")
add_method("chaitanya_global", ChaitanyaGlobal)
add_method("chaitanya_global_local", ChaitanyaGlobalLocal)
add_method("pcl", PCL)
add_method("local", Local)
add_method("global_local", GlobalLocal)
add_method("joint", Joint)
add_method("mixup", Mixup)
add_method("mean_teacher", MeanTeacherMethod)
add_method("tcsm", TCSM)
add_method("self_training", SelfTrainingMethod)
add_method("cross_teaching", CrossTeachingMethod)
add_method("local_pseudo", LocalPseudoMethod)
add_method("local_self_training", LocalSelfTrainingMethod)

__all__ = [
    "METHODS",
    "PCL",
    "PIRL",
    "TCSM",
    "ChaitanyaGlobal",
    "ChaitanyaGlobalLocal",
    "CrossTeachingMethod",
    "FineTuningMethod",
    "GlobalLocal",
    "Joint",
    "Local",
    "LocalPseudoMethod",
    "LocalSelfTrainingMethod",
    "MeanTeacherMethod",
    "Method",
    "Mixup",
    "PretrainingMethod",
    "Random",
    "Rotation",
    "SelfTrainingMethod",
    "SemiSupervisedMethod",
    "SimCLR",
    "add_method",
    "build_method",
    "build_pretraining",
    "epochs_of",
    "find_method",
    "fine_tuning_of",
    "method_of_run",
    "objectives_of",
    "parameter_groups",
    "run_pretraining",
    "stages_of",
    "stages_to_run",
]
