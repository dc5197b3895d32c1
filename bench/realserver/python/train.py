"""Trains the demo's model: 200 random trees on the first 1,500 of scikit-learn's
handwritten digits. Writes, into the folder that is named, what MLServer serves
and digits.json, the other 297 digits with their labels, which the model has not
seen."""

import json
import pathlib
import sys

import joblib
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier

TRAINED = 1500

folder = pathlib.Path(sys.argv[1])
model_folder = folder / "models" / "digits-rf"
model_folder.mkdir(parents=True, exist_ok=True)

pixels, labels = load_digits(return_X_y=True)
forest = RandomForestClassifier(n_estimators=200, random_state=0)
forest.fit(pixels[:TRAINED], labels[:TRAINED])

joblib.dump(forest, model_folder / "model.joblib")
settings = {
    "name": "digits-rf",
    "implementation": "mlserver_sklearn.SKLearnModel",
    "parameters": {"uri": "./model.joblib", "version": "v1"},
}
(model_folder / "model-settings.json").write_text(json.dumps(settings))
held_out = {"rows": pixels[TRAINED:].tolist(), "labels": labels[TRAINED:].tolist()}
(folder / "digits.json").write_text(json.dumps(held_out))
