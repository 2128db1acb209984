#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Medians and ratios from the lines that the benchmarks write: TOOL STEP ELAPSED USER SYSTEM KIB, or TOOL NAME NUMBER."""
import json
import statistics
import sys


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
    base = result.get('zstd', {})
    for row in result.values():
        for name in ('full_s', 'full_cpu_s', 'size', 'restore_s'):
            if base.get(name) and row.get(name):
                row[name + '_to_zstd'] = round(row[name] / base[name], 2)
    return result


def show(result):
    columns = [('full_s', 's'), ('full_cpu_s', 's'), ('full_s_to_zstd', ''), ('full_mib', 'MiB'), ('size', 'MB'), ('size_to_zstd', ''),
               ('again_s', 's'), ('restore_s', 's'), ('incremental_s', 's'), ('incremental_stored', 'KiB')]
    print(' '.join(['%-12s' % 'tool'] + ['%13s' % name.replace('incremental', 'inc').replace('_to_zstd', '/zstd') for name, _ in columns]))
    for tool, row in result.items():
        cells = []
        for name, unit in columns:
            value = row.get(name)
            if value is None:
                cells.append('%13s' % '-')
            elif unit == 'MB':
                cells.append('%10.0f MB' % (value / 1e6))
            elif unit == 'KiB':
                cells.append('%9.0f KiB' % (value / 1024))
            else:
                cells.append(('%13.2f' if unit in ('s', '') else '%13.0f') % value)
        print(' '.join(['%-12s' % tool] + cells))


def main():
    result = summary(read(sys.argv[-1]))
    if '--json' in sys.argv:
        print(json.dumps(result, indent=1))
    else:
        show(result)


main()
