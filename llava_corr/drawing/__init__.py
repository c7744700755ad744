"""Drawing: coloured masks with contours and name tags, stable colours, contact sheets. Arrays in, arrays out."""
