"""Kubernetes label selectors, as the API server means them. Called for ``CloudEndpoint.spec.allowedNamespaces``."""

from collections.abc import Mapping

from tandem_operator.api.v1alpha1 import LabelSelector, LabelSelectorRequirement


def matches(selector: LabelSelector | None, labels: Mapping[str, str]) -> bool:
    """Return whether ``labels`` satisfy every term. No selector matches nothing; an empty one matches everything."""
    if selector is None:
        return False
    return all(labels.get(key) == value for key, value in selector.match_labels.items()) and all(
        _holds(requirement, labels) for requirement in selector.match_expressions
    )


def _holds(requirement: LabelSelectorRequirement, labels: Mapping[str, str]) -> bool:
    """Return whether one expression holds. As in Kubernetes, NotIn holds when the label is absent."""
    present = requirement.key in labels
    listed = present and labels[requirement.key] in requirement.values
    match requirement.operator:
        case "In":
            return listed
        case "NotIn":
            return not listed
        case "Exists":
            return present
        case "DoesNotExist":
            return not present
