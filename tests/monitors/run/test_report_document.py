import pytest

from driftline.monitors.run.report_document import read_report, read_told


def test_a_document_of_another_form_is_refused():
    with pytest.raises(ValueError, match="feature"):
        read_report({"format": 1, "features": [7], "details": {}})


@pytest.mark.parametrize("read", [read_report, read_told])
@pytest.mark.parametrize("document", [{}, {"format": 1}, {"format": 99, "details": {}}])
def test_a_document_without_a_known_format_and_details_is_refused(read, document):
    with pytest.raises(ValueError, match=r"format|details"):
        read(document)
