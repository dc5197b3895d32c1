// Package dashboard is the page for people behind the admin door: what the process
// does just now, drawn from its own metrics and configuration. It counts nothing
// itself. While somebody looks it keeps a few earlier readings of the metrics, so that
// it can tell rates and percentiles of the last minute; nobody looking costs nothing.
//
// The page is whole as the server sends it. A little script asks for it again every few
// seconds and puts in what has changed; without the script the browser loads it anew.
// Nothing comes from elsewhere, and the policy that goes with the page forbids the
// browser to load or run anything but the embedded assets.
package dashboard
