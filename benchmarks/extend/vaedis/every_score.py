import numpy as np

import vaedis as vd

print(vd.metrics.score(np.load("codes.npy"), np.load("factors.npy")))
