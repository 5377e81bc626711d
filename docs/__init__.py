"""The documentation, and what prints parts of it from the code: ``python -m docs``.

A page is prose with passages in it. A passage is what stands between ``<!-- printed: NAME -->`` and
``<!-- end -->``; it is made by the function of that name in `docs.passages`, so that it cannot
differ from what the code declares: a test compares them. ``settings.py`` makes what is printed into
``settings.md``, and so on.
"""
