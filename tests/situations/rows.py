"""All situations of one name, by theme."""

from tests.situations import old_world, outages, rivals, rollouts, services, splits

THEMES = {
    theme.TITLE: tuple(theme.ROWS) for theme in (rollouts, outages, splits, services, rivals, old_world)
}
SITUATIONS = tuple(row for rows in THEMES.values() for row in rows)
