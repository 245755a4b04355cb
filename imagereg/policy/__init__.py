"""Who may perform an action: the rule language, the rule files, the decision.

The room is pure.  It knows credentials and targets as mappings and nothing of
requests, rows or stores; the one way out, the remote check, is a function that is
handed in.

    actions.py      every policy name, its built-in rule, what it guards
    templates.py    the ``%(name)s`` holes of a rule
    checks.py       the nodes of a rule, and which target fields each one reads
    language.py     rule text -> check tree, and back
    compiler.py     check tree -> one closure
    files.py        policy files -> entries with file and line (yaml_files.py: YAML)
    merging.py      entries and built-in defaults -> the rules in force
    rules.py        RuleSet: credentials, action, target -> Decision
    references.py   unknown names, cycles and depth, found at load
    remote.py       the ``http:`` and ``https:`` check
    enforcer.py     the rule set in force, reloaded when its files change
"""
