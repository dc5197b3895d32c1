"""A model for Triton's Python engine: a perceptron of two hidden layers with fixed
random weights. It runs once for all requests that Triton hands over together. Most
of its time goes into reading the weights, so a batch costs little more than a row.
It computes in double precision: the order of additions differs between a row and a
batch, which is not to show in an answer of single precision."""

import numpy as np
import triton_python_backend_utils as triton

SIZES = (64, 2048, 2048, 10)


class TritonPythonModel:
    def initialize(self, args):
        source = np.random.default_rng(0)
        self.layers = [
            source.standard_normal((rows, columns)) / np.sqrt(rows)
            for rows, columns in zip(SIZES, SIZES[1:])
        ]

    def execute(self, requests):
        inputs = [triton.get_input_tensor_by_name(r, "x").as_numpy() for r in requests]
        values = np.concatenate(inputs).astype(np.float64)
        for layer in self.layers[:-1]:
            values = np.maximum(values @ layer, 0)
        values = (values @ self.layers[-1]).astype(np.float32)
        ends = np.cumsum([len(x) for x in inputs])[:-1]
        return [triton.InferenceResponse([triton.Tensor("y", y)]) for y in np.split(values, ends)]
