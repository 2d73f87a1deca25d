"""Data quality and bias as SageMaker Model Monitor judges them, for --compat.

Data quality needs three documents: constraints.json and statistics.json of the baseline, and
statistics.json of the window, made as SageMaker's analyzer makes it (baseline/analyzer.py).
Thresholds are fixed, rows independent, columns compared by number, and none of our own checks and
budgets apply.

References
----------
awslabs/deequ, the library that the analyzer is built on: ``Distance``, ``QuantileNonSample``,
``Constraint.ratioTypes`` and ``Check.isContainedIn``, whose texts SageMaker's violations quote.
"""
