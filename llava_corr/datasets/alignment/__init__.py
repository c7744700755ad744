"""Alignment samples: dialogues about one image, for the stage of training before MixedParts (Calico, appendix C.1).

``phrasings`` holds the words, ``subjects`` what can be said about an image, ``build`` makes the data set, ``command``
is the command line. Made from images whose captions are grounded, in GranD's format.
"""
