"""A student's own copy of a lesson, from before files were renamed, still runs."""

import mynn.distort
import mynn.images
import mynn.plotting
import mynn.widget
from mynn import plots
from mynn.pad import Pad
from mynn.pictures import read_picture
from mynn.rotation import rotate, rotated


def test_the_old_names_mean_the_same() -> None:
    assert (rotate, rotated) == (mynn.distort.rotate, mynn.distort.rotated)
    assert read_picture is mynn.images.read_image
    assert Pad is mynn.widget.Pad
    assert plots.dreams is mynn.plotting.backqueries
    for name in ("confusion", "curves", "damage_curve", "digit", "digits", "weights"):
        assert getattr(plots, name) is getattr(mynn.plotting, name)
