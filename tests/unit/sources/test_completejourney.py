import pytest

from headwater.errors import ConfigurationError
from headwater.sources import completejourney


def test_a_missing_package_is_told_with_the_remedy(monkeypatch):
    monkeypatch.setattr(completejourney, "PACKAGE", "completejourney_that_is_not_there")
    with pytest.raises(ConfigurationError, match=r"pip install 'headwater\[demo\]'"):
        completejourney.data_dir()


def test_a_missing_file_is_told_by_name():
    with pytest.raises(ConfigurationError, match=r"no shoes\.parquet"):
        completejourney.data_file("shoes")


def test_a_file_is_read_with_the_columns_asked_for():
    assert completejourney.read("campaigns", ["household_id"]).column_names == ["household_id"]
