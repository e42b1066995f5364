"""Pages for people under `/review`, as a Starlette application: a page is one module and its template.

    table.py         which page is answered by what: the table that routes, rules and the navigation are made of
    visit.py         one visit of a page: who comes, in which language, what was asked, and how it is answered
    application.py   the application, and what a person is told where a page is refused
    writing.py       moments, money and shares as a page writes them
    labels.py        the words for the contract's codes
    chart.py         where a line chart has its points

    cuts.py          what a table is cut by, and its values, in words
    curves.py        where the curves of predicted against actual have their points
    months.py        the month that a query names
    lines.py         where several lines over time have their points
    columns.py       scores and features in words, and what falls into their bins
    files.py         tables as files
    cells.py         columns, and how a cell says a value of a kind; marks.py, how it is marked
    sections.py      the tables of the review in words: their columns, on pages and in the report
    report.py        all tables of a month as one page to print
    markdown.py      a card as HTML, whoever wrote it

    overview.py, predicted.py, flows.py                       the pages on top of the roll-ups
    models.py                                                 what is in service, versions and promotions
    drift.py                                                  the reports of monitoring
    sign_in.py, queue.py, held.py, account.py                 the others
    templates/       theirs, in Jinja2, with texts of `serving.languages`
    static/          the stylesheet and the icon: nothing is loaded from elsewhere, and no page needs a script

To add a column: a line in `sections.py`, or in the module of a page that has the table alone.
To add a page: its module, its template, its row in `table.py`, and its texts in `serving/languages`.
"""
