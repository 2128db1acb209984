#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Medians and ratios from the lines that the benchmarks write: TOOL STEP ELAPSED USER SYSTEM KIB, or TOOL NAME NUMBER."""
import json
import statistics
import sys

BASES = ('zstd', 'restic', 'virtnbdbackup')


def read(path):
    runs = {}
    for line in open(path):
        tool, step, *numbers = line.split()
        runs.setdefault(tool, {}).setdefault(step, []).append([float(n) for n in numbers])
    return runs


def summary(runs):
    result = {}
    for tool, steps in runs.items():
        row = result[tool] = {}
        for step, samples in steps.items():
            if len(samples[0]) == 1:
                row[step] = statistics.median(s[0] for s in samples)
            else:
                row[step + '_s'] = statistics.median(s[0] for s in samples)
                row[step + '_cpu_s'] = round(statistics.median(s[1] + s[2] for s in samples), 2)
                row[step + '_mib'] = round(max(s[3] for s in samples) / 1024)
    for base in BASES:
        for tool, row in result.items():
            for name in ('full_s', 'full_cpu_s', 'size', 'restore_s', 'restore_cpu_s', 'incremental_s'):
                if tool != base and result.get(base, {}).get(name) and row.get(name):
                    row[name + '_to_' + base] = round(row[name] / result[base][name], 2)
    return result


COLUMNS = [
    ('full_s', 's'), ('full_cpu_s', 's'), ('full_all_cpu_s', 's'), ('full_s_to_zstd', ''), ('full_cpu_s_to_zstd', ''), ('full_mib', 'MiB'),
    ('size', 'MB'), ('size_to_zstd', ''), ('again_s', 's'), ('again_cpu_s', 's'), ('restore_s', 's'), ('restore_cpu_s', 's'),
    ('restore_s_to_restic', ''), ('restore_s_to_virtnbdbackup', ''), ('incremental_s', 's'), ('incremental_cpu_s', 's'),
    ('incremental_dirty', 'KiB'), ('incremental_read', 'KiB'), ('incremental_stored', 'KiB'), ('incremental_grown', 'KiB'),
]


def cell(value, unit):
    if value is None:
        return '-'
    if unit == 'MB':
        return '%.0f' % (value / 1e6)
    return '%.0f' % (value / 1024 if unit == 'KiB' else value) if unit in ('KiB', 'MiB') else '%.2f' % value


def show(result):
    """A line per measure, a column per tool."""
    tools = list(result)
    width = max([14] + [len(t) + 2 for t in tools])
    print('%-34s' % 'median' + ''.join(('%%%ds' % width) % t for t in tools))
    for name, unit in COLUMNS:
        if any(name in result[t] for t in tools):
            head = name.replace('_s_to_', ' / ').replace('_to_', ' / ').replace('_mib', ' memory').replace('_', ' ').removesuffix(' s')
            line = '%-34s' % (head + (' [%s]' % unit if unit else ''))
            print(line + ''.join(('%%%ds' % width) % cell(result[t].get(name), unit) for t in tools))


def main():
    result = summary(read(sys.argv[-1]))
    if '--json' in sys.argv:
        print(json.dumps(result, indent=1))
    else:
        show(result)


main()
