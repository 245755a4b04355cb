"""What the gate would say to requests that nobody has made.

For authors of rules and for administrators who ask why.  Every answer is the gate's
own, on callers and images that exist in a file or on a command line alone.  Pure, as
`policy`, `protection` and `access` are; it stands above them because it needs all
three.

    questions.py    a question, put to the gate; the verdict and the stage it fell at
    reasons.py      why, and the smallest change that would turn a no into a yes
    personas.py     the callers and images of tables
    matrix.py       personas by actions by visibility, and what two policies differ in
    cases.py        files of cases: what a rule author expects
    runs.py         cases run, and what they covered
    reports.py      the results as text and as JUnit XML
    pytest_plugin.py  the same files as pytest items, and the fixture `policy`
"""
