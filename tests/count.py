#!/usr/bin/env python3
"""Counts what really ran, from a junit file: prints "PASSED FAILED SKIPPED".

count.py pytest FILE STATUS   STATUS is pytest's own: where it ended badly and yet names no failure, that is one
count.py ctest FILE           cmocka programs run by ctest: each of their tests counts
"""
import re
import sys
import xml.etree.ElementTree as ET


def cases(path):
    try:
        return ET.parse(path).getroot().findall(".//testcase")
    except (OSError, ET.ParseError):
        return []


def of_pytest(path, status):
    passed = failed = skipped = 0
    for case in cases(path):
        # A test that passed and whose teardown failed has an <error>.
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif case.find("skipped") is not None:
            skipped += 1
        else:
            passed += 1
    if status != 0 and not failed:
        failed = 1
    return passed, failed, skipped


def of_ctest(path):
    passed = failed = skipped = 0
    ran = cases(path)
    for case in ran:
        text = case.findtext("system-out") or ""
        good = len(re.findall(r"^\[ +OK +\]", text, re.M))
        left_out = len(re.findall(r"^\[ +SKIPPED +\] (?!\d)", text, re.M))
        # cmocka names a failed test twice: when it fails, and in a list at the end.
        bad = len(set(re.findall(r"^\[ +(?:FAILED|ERROR) +\] (?!\d)(?:\w+: )?(\S+)", text, re.M)))
        if case.get("status") == "fail" or case.find("failure") is not None:
            bad = max(bad, 1)  # it crashed, or a sanitizer ended it
        elif not good:
            good = 1  # no cmocka program
        passed, failed, skipped = passed + good, failed + bad, skipped + left_out
    return (passed, failed, skipped) if ran else (0, 1, 0)


def main():
    kind, path, *status = sys.argv[1:]
    print(*(of_pytest(path, int(status[0])) if kind == "pytest" else of_ctest(path)))


if __name__ == "__main__":
    main()
