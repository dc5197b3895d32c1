"""A model for Triton's Python engine: a perceptron of two hidden layers with fixed
random weights. It runs once for all requests that Triton hands over together. Most
of its time goes into reading the weights, so a batch costs little more than a row."""

import numpy as np
import triton_python_backend_utils as triton

SIZES = (64, 2048, 2048, 10)


class TritonPythonModel:
    def initialize(self, args):
        source = np.random.default_rng(0)
        self.layers = [
            (source.standard_normal((rows, columns)) / np.sqrt(rows)).astype(np.float32)
            for rows, columns in zip(SIZES, SIZES[1:])
        ]

    def execute(self, requests):
        inputs = [triton.get_input_tensor_by_name(r, "x").as_numpy() for r in requests]
        values = np.concatenate(inputs)
        for layer in self.layers[:-1]:
            values = np.maximum(values @ layer, 0)
        values = values @ self.layers[-1]
        ends = np.cumsum([len(x) for x in inputs])[:-1]
        return [triton.InferenceResponse([triton.Tensor("y", y)]) for y in np.split(values, ends)]
