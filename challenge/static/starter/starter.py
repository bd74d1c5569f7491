# %% [markdown]
# # A first submission in one minute
#
# This program reads a practice kit, learns from its labelled examples with scikit-learn, one pixel
# at a time, predicts every patch of the phase and writes a zip that can be submitted. It is a floor
# to rise from, not a method.
#
# ```
# pip install numpy rasterio scikit-learn
# python starter.py flair-1-practice-kit.zip predictions.zip
# ```
#
# In a notebook, put the kit beside it and run all cells.

# %%
import csv
import io
import json
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile
from sklearn.ensemble import RandomForestClassifier

warnings.simplefilter("ignore", NotGeoreferencedWarning)  # patches need no place on the map
PIXELS_OF_AN_EXAMPLE = 3000
arguments = sys.argv[1:] if "ipykernel" not in sys.modules else []
kits = [*arguments[:1], *sorted(map(str, Path().glob("*kit*.zip")))]
if not kits:
    raise SystemExit("No kit here: download it from the site and put it beside this program.")
kit = zipfile.ZipFile(kits[0])
out = Path(arguments[1] if len(arguments) > 1 else "predictions.zip")

# %% [markdown]
# ## What the kit says
#
# `ids.csv` lists the patches to predict. `task.json` names the classes, and which values of a mask
# belong to which class: masks of FLAIR count from 1, predictions from 0.

# %%
ids = [row["patch"] for row in csv.DictReader(io.StringIO(kit.read("ids.csv").decode()))]
task = json.loads(kit.read("task.json"))
class_of_label = np.zeros(256, np.uint8)
known_label = np.zeros(256, bool)
for one in task["classes"]:
    class_of_label[one["labels"]] = one["id"]
    known_label[one["labels"]] = True
examples = sorted(Path(name).name for name in kit.namelist() if name.startswith("examples/labels/"))
if not examples:
    raise SystemExit("This kit has no labelled examples: take some from the challenge's data.")


def read(name: str) -> np.ndarray:
    """The raster of a file of the kit: [bands, rows, columns]."""
    with MemoryFile(kit.read(name)) as file, file.open() as raster:
        return np.asarray(raster.read())


def features(image: np.ndarray) -> np.ndarray:
    """What the classifier sees of each pixel: its bands, and their means over 9 × 9 pixels."""
    bands = image.astype(np.float32)
    half = 4
    side = 2 * half + 1
    padded = np.pad(bands.astype(np.float64), ((0, 0), (half + 1, half), (half + 1, half)), "edge")
    sums = padded.cumsum(axis=1).cumsum(axis=2)
    means = sums[:, side:, side:] - sums[:, :-side, side:]
    means += sums[:, :-side, :-side] - sums[:, side:, :-side]
    return np.concatenate([bands, means / side**2]).reshape(2 * len(bands), -1).T


# %% [markdown]
# ## Learn
#
# A few thousand pixels of each example are enough for a classifier of this kind.

# %%
random = np.random.default_rng(2022)
seen, wanted = [], []
for name in examples:
    labels = read(f"examples/labels/{name}")[0].ravel()
    chosen = random.permutation(np.flatnonzero(known_label[labels]))[:PIXELS_OF_AN_EXAMPLE]
    seen.append(features(read(f"examples/images/{name}"))[chosen])
    wanted.append(class_of_label[labels[chosen]])
model = RandomForestClassifier(10, max_depth=14, n_jobs=-1, random_state=2022)
model.fit(np.concatenate(seen), np.concatenate(wanted))
print(f"learned from {len(examples)} examples")

# %% [markdown]
# ## Predict, and write the zip
#
# One single-band 8-bit TIFF of class numbers for each patch, named as the task says.

# %%
with zipfile.ZipFile(out, "w") as archive:
    for patch in ids:
        image = read(f"images/{patch}.tif")
        height, width = image.shape[1:]
        classes = model.predict(features(image)).astype(np.uint8).reshape(height, width)
        with MemoryFile() as file:
            with file.open(
                driver="GTiff", height=height, width=width, count=1, dtype="uint8", compress="lzw"
            ) as raster:
                raster.write(classes, 1)
            archive.writestr(task["prediction_name"].replace("{id}", patch), file.read())
print(f"wrote {out}: {len(ids)} patches, ready to be submitted")
