"""Languages: what people read, in the language that they ask for.

    language.py      a language: its texts, and how it writes numbers, money, shares and days
    zh_Hans.po       the texts in Simplified Chinese (gettext); the English one is the key

A text stands in English where it is used, so that English needs no catalogue. To add a language, add its `.po` file and
its row in `LANGUAGES`; `tests/serving/languages` says which texts are missing.
"""
