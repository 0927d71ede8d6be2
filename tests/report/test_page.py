from hpaxis.report.build import build_page


def test_page_is_written(run, tmp_path):
    import os

    text = build_page(run)
    if os.environ.get("KEEP"):
        open(os.environ["KEEP"], "w").write(text)
    assert text.startswith("<!DOCTYPE html>")
