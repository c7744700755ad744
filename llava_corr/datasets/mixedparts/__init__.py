"""MixedParts: part-focused co-segmentation samples made from part-annotated images (Calico, section 4, appendix A).

``classes`` says which classes may be compared, ``views`` merges instances, ``pool`` indexes the images of one source,
``truth`` decides what is common and unique in the given images, ``phrasings`` and ``answers`` put it into words,
``pairing`` draws images, ``build`` makes the data set, ``statistics`` describes it, ``command`` is the command line.
"""
