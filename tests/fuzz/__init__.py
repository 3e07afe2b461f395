"""`make fuzz`: what comes from outside, fed with whatever there is. One module a target in targets/, its seeds in corpus/."""
