"""``saliency-batch bench``: settings of ``run`` timed on this machine, compared, one recommended."""
