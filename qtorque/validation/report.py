"""The report of a validation: one HTML page that stands alone, and one CSV table."""

from __future__ import annotations

import base64
import csv
import dataclasses
import html
import io
from collections.abc import Sequence

from qtorque.validation.comparison import Comparison, Verdict

STYLE = """
body { font-family: sans-serif; max-width: 62em; margin: 2em auto; line-height: 1.45; color: #222; }
table { border-collapse: collapse; margin: 1em 0; font-size: 92%; }
th, td { border-bottom: 1px solid #ccc; padding: 0.25em 0.8em; text-align: left; vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
.holds { color: #0a6b2d; font-weight: bold; } .undecided { color: #8a6100; font-weight: bold; }
.fails { color: #a31515; font-weight: bold; }
img { max-width: 100%; } pre { background: #f4f4f4; padding: 0.6em; overflow-x: auto; }
"""
COLUMNS = (
    "section", "quantity", "unit", "model", "coordinate", "coordinate_unit", "at", "quantum", "quantum_error", "found",
    "found_error", "relative_to", "deviation", "deviation_error", "verdict",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Table:
    """A caption, a header and rows of text."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Section:
    """One part of the report: text, tables of parameters, comparisons with their verdicts, pictures (PNG)."""

    title: str
    text: str
    comparisons: Sequence[tuple[Comparison, Verdict]] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[tuple[str, bytes]] = ()


def as_html(title: str, sections: Sequence[Section], provenance: str) -> str:
    """The page; pictures are inside it."""
    parts = [
        f"<!DOCTYPE html><html lang='en'><head><meta charset='utf-8'><title>{html.escape(title)}</title>",
        f"<style>{STYLE}</style></head><body><h1>{html.escape(title)}</h1>",
    ]
    for section in sections:
        parts.append(f"<h2>{html.escape(section.title)}</h2><p>{html.escape(section.text)}</p>")
        if section.comparisons:
            parts.append("<table><tr><th>quantity</th><th>model</th><th>verdict</th></tr>")
            for comparison, verdict in section.comparisons:
                kind = verdict.kind
                rest = verdict.text.removeprefix(kind)
                cells = [html.escape(comparison.quantity), html.escape(comparison.model)]
                cells.append(f"<span class='{kind}'>{kind}</span>{html.escape(rest)}")
                parts.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
            parts.append("</table>")
        for caption, picture in section.pictures:
            data = base64.b64encode(picture).decode("ascii")
            parts.append(f"<figure><img alt='{html.escape(caption)}' src='data:image/png;base64,{data}'>")
            parts.append(f"<figcaption>{html.escape(caption)}</figcaption></figure>")
        parts += [_table(table) for table in section.tables]
    parts.append(f"<h2>Provenance</h2><pre>{html.escape(provenance)}</pre></body></html>\n")
    return "\n".join(parts)


def as_csv(sections: Sequence[Section]) -> str:
    """A line for every point of every comparison, its numbers in full."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for section in sections:
        for c, _ in section.comparisons:
            head = [section.title, c.quantity, c.unit, c.model, c.coordinate, c.coordinate_unit]
            for i in range(c.at.size):
                values = [c.at, c.quantum, c.quantum_error, c.found, c.found_error]
                relative = [c.deviation, c.deviation_error]
                cells = [repr(float(v[i])) for v in values], [repr(float(v[i])) for v in relative]
                whole = c.scale_name or "quantum"
                writer.writerow([*head, *cells[0], whole, *cells[1], c.verdicts[i]])
    return file.getvalue()


def as_text(sections: Sequence[Section]) -> list[str]:
    """The verdicts as lines for a terminal."""
    lines = []
    for section in sections:
        lines.append(section.title)
        lines += [f"  {c.quantity:<28} {c.model:<44} {v.text}" for c, v in section.comparisons]
    return lines


def _table(table: Table) -> str:
    header = "".join(f"<th>{html.escape(cell)}</th>" for cell in table.header)
    rows = "".join(
        "<tr>" + "".join(f"<td class='number'>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows
    )
    return f"<table><caption>{html.escape(table.caption)}</caption><tr>{header}</tr>{rows}</table>"
