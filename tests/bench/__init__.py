"""`make bench`: p2pcopy against others, over networks made for it. Needs Linux, root and iproute2; who is missing is left out."""
