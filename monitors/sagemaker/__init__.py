"""Data quality and bias as SageMaker Model Monitor judges them: what --compat does otherwise.

Of data quality everything is read off three documents: constraints.json and statistics.json of the
baseline, and statistics.json of the window, made as SageMaker's analyzer makes it
(baseline/analyzer.py: each value's type is that of its text). Fixed thresholds, every row
independent, columns compared by their number, and none of our own checks and budgets.

References
----------
awslabs/deequ, the library that the analyzer is built on: ``Distance``, ``QuantileNonSample``,
``Constraint.ratioTypes`` and ``Check.isContainedIn``, whose texts SageMaker's violations quote.
"""
