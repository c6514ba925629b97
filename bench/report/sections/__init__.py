"""The report's sections, one file each: ``section`` says what is on the page, ``files`` what lies beside it."""
