// Package realserver runs a real model server on this machine, for whoever wants
// to see Friday in front of one: MLServer with a random forest of scikit-learn
// that tells handwritten digits apart.
//
// What it needs comes from the Python package index into a virtual environment in
// a cache directory, once; the model is trained there, once. Both are named by a
// hash of what they are made from, so that a change makes new ones, and only what
// was finished is ever used.
package realserver
