"""An example for each command, shown by its ``--help``; tests parse each of them."""

from collections.abc import Mapping

import click

#: Command -> a line as it is typed.
EXAMPLES: Mapping[str, str] = {
    "serve": "imagereg serve --config /etc/imagereg/imagereg.conf --workers 4",
    "upload": "imagereg upload disk.raw --endpoint http://127.0.0.1:9292 --parallel 4",
    "worker": "imagereg worker --config /etc/imagereg/imagereg.conf",
    "completion": "imagereg completion bash",
    "config check": "imagereg config check --config-file imagereg.conf",
    "config dump": "imagereg config dump --config-file imagereg.conf --defaults",
    "config sample": "imagereg config sample",
    "policy check": "imagereg policy check --policy policy.json --access token.json",
    "policy convert": "imagereg policy convert --policy policy.json --to yaml",
    "policy diff": "imagereg policy diff policy.json policy.new.json",
    "policy effective": "imagereg policy effective --policy policy.json",
    "policy explain": "imagereg policy explain delete_image --as member",
    "policy lint": "imagereg policy lint --policy policy.json --strict",
    "policy matrix": "imagereg policy matrix --policy policy.json",
    "policy redundant": "imagereg policy redundant --policy policy.json",
    "policy sample": "imagereg policy sample --format yaml",
    "policy test": "imagereg policy test cases.yaml --policy policy.json",
    "policy upgrade": "imagereg policy upgrade --policy policy.json",
    "policy validate": "imagereg policy validate --policy policy.json",
    "protection check": "imagereg protection check property-protections.conf"
    " --property billing_code --op read --roles member",
    "protection lint": "imagereg protection lint property-protections.conf",
    "protection validate": "imagereg protection validate property-protections.conf",
    "store gc": "imagereg store gc --config-file imagereg.conf --fix",
    "store verify": "imagereg store verify --config-file imagereg.conf --status",
    "db check": "imagereg db check --config-file imagereg.conf",
    "db purge": "imagereg db purge --config-file imagereg.conf --age-in-days 30",
    "db upgrade": "imagereg db upgrade --config-file imagereg.conf --dry-run",
    "db version": "imagereg db version --config-file imagereg.conf",
    "scrub": "imagereg scrub --config-file imagereg.conf",
    "metadefs export": "imagereg metadefs export definitions",
    "metadefs load": "imagereg metadefs load --builtin",
    "metadefs unload": "imagereg metadefs unload --builtin --dry-run",
    "cache clean": "imagereg cache clean --config-file imagereg.conf",
    "cache delete": "imagereg cache delete 71c675ab-d94f-49cd-a114-e12490b328d9",
    "cache list": "imagereg cache list --config-file imagereg.conf",
    "cache prefetch": "imagereg cache prefetch --config-file imagereg.conf",
    "cache prune": "imagereg cache prune --config-file imagereg.conf",
    "cache queue": "imagereg cache queue 71c675ab-d94f-49cd-a114-e12490b328d9",
    "user add": "imagereg user add alice --project demo --roles member,reader",
    "user check": "imagereg user check alice",
    "user disable": "imagereg user disable alice",
    "user list": "imagereg user list --config-file imagereg.conf",
    "user passwd": "imagereg user passwd alice",
    "props lint": "imagereg props lint 71c675ab-d94f-49cd-a114-e12490b328d9 --builtin",
}


#: Command of a node -> lines as they are typed.
FETCH_EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "": (
        "imagereg-fetch 71c675ab-d94f-49cd-a114-e12490b328d9 --os-cloud mycloud",
        "imagereg-fetch 71c675ab-d94f-49cd-a114-e12490b328d9 --dest disk.img"
        " --endpoint http://127.0.0.1:9292",
        "imagereg-fetch 71c675ab-d94f-49cd-a114-e12490b328d9 --dest disk.raw"
        " --format raw --connections 4",
        "imagereg-fetch 71c675ab-d94f-49cd-a114-e12490b328d9 --direct only"
        " --config /etc/imagereg/imagereg-fetch.conf --progress json",
    ),
    "prefetch": ("imagereg-fetch prefetch images.txt --parallel 4",),
    "completion": ("imagereg-fetch completion bash",),
    "cache gc": (
        "imagereg-fetch cache gc --dry-run",
        "imagereg-fetch cache gc --check-service --os-cloud mycloud",
    ),
    "cache list": ("imagereg-fetch cache list --json",),
    "cache pin": ("imagereg-fetch cache pin 71c675ab-d94f-49cd-a114-e12490b328d9",),
    "cache rm": ("imagereg-fetch cache rm 71c675ab-d94f-49cd-a114-e12490b328d9",),
    "cache show": ("imagereg-fetch cache show 71c675ab-d94f-49cd-a114-e12490b328d9",),
    "cache unpin": ("imagereg-fetch cache unpin 71c675ab-d94f-49cd-a114-e12490b328d9",),
    "cache verify": ("imagereg-fetch cache verify",),
}


def explain_fetch(command: click.Command, path: str, ending: str) -> None:
    """Let ``--help`` of a command of a node, and of all below it, end with examples.

    Args:
        command: which may be a group.
        path: its name, and those above it.
        ending: what follows the examples.
    """
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            explain_fetch(below, f"{path} {name}".strip(), ending)
    lines = FETCH_EXAMPLES.get(path, ())
    word = "Examples" if len(lines) > 1 else "Example"
    shown = "".join(f"  {line}\n" for line in lines)
    examples = f"\b\n{word}:\n{shown}\n" if lines else ""
    command.epilog = examples + ending


def explain(command: click.Command, path: str) -> None:
    """Let ``--help`` of a command, and of all below it, end with an example."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None:
                explain(below, f"{path} {name}")
    example = EXAMPLES.get(path)
    if example is not None and not command.epilog:
        command.epilog = f"\b\nExample:\n  {example}"
