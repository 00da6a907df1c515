"""RadGraph F1 at its three levels, and the mean of entity and relation F1 that RadCliQ takes."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from hilum.evaluation.measures import Measures, mean_of
from hilum.evaluation.pairs import Pairs
from hilum.models.radgraph import Graph, RadGraph

LEVELS = ("radgraph_simple", "radgraph_partial", "radgraph_complete")


def radgraph_f1(pairs: Pairs, radgraph: RadGraph) -> Measures:
    """RadGraph F1 simple, partial and complete, means over studies.

    Args:
        pairs: the studies.
        radgraph: the network; the numbers of different types are not comparable.

    Source:
        Delbrouck et al., Findings of EMNLP 2022 (RG_E, RG_ER, RG_ER-bar); `rewards.py` of radgraph 0.1.18.
    """
    read = radgraph.graphs([*pairs.references, *pairs.predictions])
    n = len(pairs.rows)
    scores = np.array([levels(a, b) for a, b in zip(read[:n], read[n:], strict=True)])
    convention = f"radgraph:{radgraph.identity}|levels:radgraph0.1.18|empty:0|sections:{pairs.sections}"
    return mean_of("learned", LEVELS, scores, convention)


def levels(reference: Graph, prediction: Graph) -> tuple[float, float, float]:
    """F1 of two graphs, 0 where either is empty.

    Simple: entities agree in words and label. Partial: also in whether they are the subject of any relation. Complete:
    an entity with relations stands for each of these, with its label and the object's words; one without for itself.
    As in the package, words are compared in lower case only within relations.

    Returns:
        Simple, partial, complete.
    """
    if not reference or not prediction:
        return 0.0, 0.0, 0.0
    simple, partial, complete = (
        _f1(*(kept(graph) for graph in (reference, prediction))) for kept in (_entities, _related, _complete)
    )
    return simple, partial, complete


def combined(reference: Graph, prediction: Graph) -> float:
    """The mean of the F1 of entities and of the F1 of relations; 0 for either that one of the graphs has none of.

    Source:
        "RadGraph F1" of Yu et al., Patterns 4:100802 (2023), as RadEval 2.2.1 has it.
    """
    return (_f1(_entities(reference), _entities(prediction)) + _f1(_relations(reference), _relations(prediction))) / 2


def _entities(graph: Graph) -> set[Hashable]:
    return {(one.tokens, one.label) for one in graph}


def _related(graph: Graph) -> set[Hashable]:
    return {(one.tokens, one.label, bool(one.relations)) for one in graph}


def _complete(graph: Graph) -> set[Hashable]:
    alone: set[Hashable] = {(one.tokens, one.label) for one in graph if not one.relations}
    return alone | {
        (one.tokens.lower(), one.label, relation, graph[target].tokens.lower())
        for one in graph
        for relation, target in one.relations
    }


def _relations(graph: Graph) -> set[Hashable]:
    return {
        ((one.tokens, one.label), (graph[target].tokens, graph[target].label), relation)
        for one in graph
        for relation, target in one.relations
    }


def _f1(reference: set[Hashable], prediction: set[Hashable]) -> float:
    both = len(reference & prediction)
    return 2 * both / (len(reference) + len(prediction)) if both else 0.0


def combined_of(references: Sequence[Graph], predictions: Sequence[Graph]) -> list[float]:
    """`combined` of each pair, `[n]`."""
    return [combined(a, b) for a, b in zip(references, predictions, strict=True)]
