// Package control is fridayd's side of xDS: it reads policies from a folder
// (policy), makes resources of them (compile), keeps what is in force true to
// the folder (folder, watch), and serves every node the resources of the
// policies that select it (server, nodes).
//
// A policy named N becomes four resources of that name: a Listener whose
// HttpConnectionManager asks for the RouteConfiguration N by RDS, and an EDS
// Cluster N with its ClusterLoadAssignment. The same policy always becomes the
// same bytes, and versions are digests of them, so that a restart of fridayd
// changes nothing for anybody.
package control
