"""Read one page of a list, by the shortest way to it."""

from dataclasses import replace

from imagereg.db import list_sql
from imagereg.db.engine import Engine, Row
from imagereg.db.list_sql import (
    Having,
    bound_sql,
    count_sql,
    follow_sql,
    gather_sql,
    gathered,
    walk_sql,
    wanted,
)
from imagereg.db.listing import ListQuery, branches


def page_rows(engine: Engine, query: ListQuery) -> list[Row]:
    """Return the rows of one page, in order.

    At most one probe for each property or tag that is wanted, one for a condition, and
    two pages: the number does not depend on how many images there are.
    """
    if query.limit == 0 or _matches_nothing(query):
        return []
    query = replace(query, words=engine.dialect.words)
    common: list[tuple[Having, object]] = []
    for having in wanted(query):
        bound = engine.rows(*bound_sql(query, having))
        if not bound:
            return engine.rows(*follow_sql(query, having))
        common.append((having, bound[0][0]))
    lead = gathered(query)
    if lead is not None:
        ((count,),) = engine.rows(*count_sql(query, lead))
        if int(str(count)) <= list_sql.RARE:
            return engine.rows(*gather_sql(query, lead))
    if common and query.by_age:
        # Within so many images most callers see a page full.
        page = engine.rows(*follow_sql(query, *common[0]))
        if len(page) == query.limit:
            return page
    return engine.rows(*walk_sql(query))


def _matches_nothing(query: ListQuery) -> bool:
    unmet = any(not condition.values for condition in query.conditions)
    return query.impossible or unmet or not any(branches(query))
