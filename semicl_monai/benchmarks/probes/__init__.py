"""One file a measurement. Each runs in its own process against an older build or this one.

The files are copied out of the package and run as ``python -m semicl_probes.NAME``, with the build on the path. They
import each other relatively, and from ``semicl_monai`` only what every build has. What a build does is taken from its
configs, and from events of its trainers.
"""
