"""Installing p2pcopy, in all ways."""
