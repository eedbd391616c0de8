"""Online learning of erf committee machines in the limit of many inputs: twin students.

order_parameters  the differential equations of the overlaps, and the barrier between two students
fluctuations      their covariance at a finite number of inputs, and the correlation of what twins specialise to
borders           noise that parts them after the plateau: three units and a teacher of two, or two and three
orders            how often correlated students end in different orders of the teacher's units
averages          the three- and four-point Gaussian averages I₃ and I₄ that drive them
"""
