// Package artefact brings models to where their server looks for them: from a file or a
// folder, over HTTP, from S3 or a registry of OCI artefacts, where what has been fetched of a file is kept and only the rest is
// asked for again.
//
// What is not whole, or not what it should be, never lies where the server looks: it is
// made beside it, in the repository's folder .friday, and renamed last. Begin reading at
// [Source.Fetch].
package artefact
