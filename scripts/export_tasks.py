#!/usr/bin/env python3
"""Writes the files that `tern eval --tasks` reads (docs/evaluation.md), one NAME.jsonl for each task.
    scripts/export_tasks.py --out DIR --tasks arc_easy,piqa [--include-path FOLDER]    needs: pip install lm_eval
    scripts/export_tasks.py --out DIR --samples samples_arc_easy_2026-01-01.jsonl...   needs nothing
--tasks: lm-evaluation-harness downloads the data and spells the requests, zero-shot. --samples: from what its --log_samples
wrote; not for tasks whose contexts differ (winogrande), as the log does not say which of them is right."""
import argparse
import json
import pathlib
import re
import sys


def merged(texts):
    """Equal texts as one."""
    return texts[:1] if len(set(texts)) == 1 else texts


def item_of(doc_id, pairs, gold):
    item = {
        "id": doc_id,
        "contexts": merged([context for context, _ in pairs]),
        "continuations": [continuation for _, continuation in pairs],
    }
    if len(item["contexts"]) > 1:
        item["continuations"] = merged(item["continuations"])
    if gold is not None:
        item["gold"] = gold
    return item


def gold_of(task, doc):
    """The index of the right choice, or none where there are no choices."""
    if task.OUTPUT_TYPE == "loglikelihood":
        return None
    gold = task.doc_to_text(doc) if task.multiple_input else task.doc_to_target(doc)
    if isinstance(gold, str) and not gold.isdecimal():
        gold = task.doc_to_choice(doc).index(gold)
    return int(gold)


def items_of_task(name, include_path):
    from lm_eval import tasks

    task = tasks.get_task_dict([name], tasks.TaskManager(include_path=include_path))[name]
    if task.OUTPUT_TYPE not in ("multiple_choice", "loglikelihood"):
        sys.exit(f"{name}: expected a task of type multiple_choice or loglikelihood, got {task.OUTPUT_TYPE}")
    task.set_config("num_fewshot", 0)
    task.build_all_requests(limit=None, rank=0, world_size=1)
    by_doc = {}
    for instance in task.instances:
        by_doc.setdefault(instance.doc_id, []).append(instance)
    for doc_id, instances in sorted(by_doc.items()):
        doc, pairs = instances[0].doc, [i.args[:2] for i in sorted(instances, key=lambda i: i.idx)]
        if task.OUTPUT_TYPE == "multiple_choice":
            pairs = pairs[: len(task.doc_to_choice(doc))]  # behind them: requests of other metrics
        yield item_of(doc_id, pairs, gold_of(task, doc))


def items_of_samples(path):
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            sample = json.loads(line)
            arguments = sample["arguments"]
            if isinstance(arguments, dict):  # {"gen_args_0": {"arg_0": ..., "arg_1": ...}, ...}
                order = sorted(arguments, key=lambda key: int(key.rsplit("_", 1)[1]))
                arguments = [(arguments[key]["arg_0"], arguments[key]["arg_1"]) for key in order]
            pairs = [tuple(pair[:2]) for pair in arguments]
            if len(merged([context for context, _ in pairs])) > 1:
                sys.exit(f"{path}:{number}: contexts differ: use --tasks")
            if len(pairs) == 1:
                yield item_of(sample["doc_id"], pairs, None)
                continue
            target = str(sample["target"])
            if not target.isdecimal():
                sys.exit(f"{path}:{number}: target: expected the number of a choice, got {target!r}: use --tasks")
            yield item_of(sample["doc_id"], pairs, int(target))


def write(path, items):
    count, half = 0, path.with_name(path.name + ".tmp")  # an error leaves nothing that looks whole
    try:
        with open(half, "w", encoding="utf-8") as file:
            for item in items:
                print(json.dumps(item, ensure_ascii=False), file=file)
                count += 1
        half.rename(path)
    finally:
        half.unlink(missing_ok=True)
    print(f"{path}: {count} items")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, type=pathlib.Path)
    parser.add_argument("--tasks", default="", help="names, with commas between")
    parser.add_argument("--include-path", help="folder with YAML files of further tasks")
    parser.add_argument("--samples", nargs="*", default=[], help="files of --log_samples")
    arguments = parser.parse_args()
    if not arguments.tasks and not arguments.samples:
        parser.error("expected --tasks or --samples")
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in filter(None, arguments.tasks.split(",")):
        write(arguments.out / f"{name}.jsonl", items_of_task(name, arguments.include_path))
    for path in arguments.samples:
        name = re.sub(r"^samples_|_\d{4}-\d\d-\d\dT[^/]*$|\.jsonl$", "", pathlib.Path(path).name)
        write(arguments.out / f"{name.removesuffix('.jsonl')}.jsonl", items_of_samples(path))


if __name__ == "__main__":
    main()
