import numpy as np

import vaedis as vd

codes, factors = np.load("codes.npy"), np.load("factors.npy")
print(vd.metrics.score(codes, factors, metrics=["mig", "dci", "sap"]))
