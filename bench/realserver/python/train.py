"""Trains the digits' models on the first 1,500 of scikit-learn's handwritten
digits: 200 random trees and a support vector machine. Writes, into the folder
that is named, what MLServer serves and digits.json, the other 297 digits with
their labels, which no model has seen."""

import json
import pathlib
import sys

import joblib
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.svm import SVC

TRAINED = 1500

folder = pathlib.Path(sys.argv[1])
pixels, labels = load_digits(return_X_y=True)
forest = RandomForestClassifier(n_estimators=200, random_state=0)
forest.fit(pixels[:TRAINED], labels[:TRAINED])
machine = SVC().fit(pixels[:TRAINED], labels[:TRAINED])

# MLServer's own batching: up to 16 at a time, for which it waits up to 10 ms.
ADAPTIVE = {"max_batch_size": 16, "max_batch_time": 0.01}

for name, model, more in (
    ("digits-rf", forest, {}),
    ("digits-rf-ab", forest, ADAPTIVE),
    ("digits-svc", machine, {}),
):
    home = folder / "models" / name
    home.mkdir(parents=True, exist_ok=True)
    joblib.dump(model, home / "model.joblib")
    settings = {
        "name": name,
        "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": "./model.joblib", "version": "v1"},
        **more,
    }
    (home / "model-settings.json").write_text(json.dumps(settings))
held_out = {"rows": pixels[TRAINED:].tolist(), "labels": labels[TRAINED:].tolist()}
(folder / "digits.json").write_text(json.dumps(held_out))
