from hpaxis.report.build import build_page


def test_page_is_written(run, tmp_path):
    import os

    text = build_page(run)
    if os.environ.get("KEEP"):
        pass
    assert text.startswith("<!DOCTYPE html>")
