"""The old names of modules still work, so that students' copies of old lessons still run."""

import mynn.distort
import mynn.images
import mynn.plotting
import mynn.widget
from mynn import plots
from mynn.pad import Pad
from mynn.pictures import read_picture
from mynn.rotation import rotate, rotated


def test_old_names_are_aliases() -> None:
    assert (rotate, rotated) == (mynn.distort.rotate, mynn.distort.rotated)
    assert read_picture is mynn.images.read_image
    assert Pad is mynn.widget.Pad
    assert plots.dreams is mynn.plotting.backqueries
    for name in ("confusion", "curves", "damage_curve", "digit", "digits", "weights"):
        assert getattr(plots, name) is getattr(mynn.plotting, name)
