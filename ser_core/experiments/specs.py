"""Systems as values: one system on one corpus under one protocol, with everything that decides its predictions."""

from pydantic import ConfigDict, ValidationError
from pydantic.dataclasses import dataclass

from ser_core.errors import SerError
from ser_core.systems.settings import Recipe

# A value of another type than the declared one is refused, not converted.
_STRICT = ConfigDict(strict=True, extra="forbid")
# Removed settings and the value at which they did nothing: committed Runs record them and must stay readable.
_RETIRED = {"extra": [], "modality_dropout": 0.0}


@dataclass(frozen=True, config=_STRICT)
class ClassicalSystem:
    """A classifier on a stored feature set.

    Attributes:
        corpus: Corpus to train and test on.
        protocol: Split protocol.
        features: Feature set.
        model: Classifier.
        normalisation: See `ser_core.systems.classifiers.NORMALISATIONS`.
        labels: Label harmonisation.
        folds: Number of folds or ``loo``.
        seeds: Seeds, one full set of predictions each.
        splits: ``fixed`` or ``per-seed``.
        tune: Whether hyperparameters are chosen on the dev part.
        train_clips: Size that every training part is cut to, or None.
        test_features: Feature set of the test part, with the same columns, where it is another; or None.
    """

    corpus: str
    protocol: str
    features: str
    model: str
    normalisation: str
    labels: str
    folds: int | str
    seeds: tuple[int, ...]
    splits: str
    tune: bool
    train_clips: int | None
    test_features: str | None = None

    @property
    def folder(self) -> str:
        """Name of the Run's folder."""
        parts = [self.corpus, self.protocol, self.features, self.model, self.normalisation]
        return ".".join(parts + (["tuned"] * self.tune) + ([f"on-{self.test_features}"] * bool(self.test_features)))

    @property
    def feature_sets(self) -> tuple[str, ...]:
        """The stored feature sets that it reads."""
        return (self.features, self.test_features) if self.test_features else (self.features,)

    def division_seed(self, seed: int) -> int:
        """Return the seed of the division that goes with one of its seeds."""
        return seed if self.splits == "per-seed" else 0


@dataclass(frozen=True, config=_STRICT)
class NetworkSystem:
    """A network, trained by a recipe.

    Attributes:
        corpus: Corpus to train and test on.
        protocol: Split protocol.
        name: Name of the network within its experiment.
        recipe: How it is trained.
        labels: Label harmonisation.
        folds: Number of folds or ``loo``.
        seeds: Seeds of the training, one full set of predictions each.
        split_seed: Seed of the division, the same for all of them.
        train_clips: Size that every training part is cut to, or None.
    """

    corpus: str
    protocol: str
    name: str
    recipe: Recipe
    labels: str
    folds: int | str
    seeds: tuple[int, ...]
    split_seed: int
    train_clips: int | None

    @property
    def folder(self) -> str:
        """Name of the Run's folder."""
        split = f".split{self.split_seed}" if self.split_seed else ""
        return f"{self.corpus}.{self.protocol}.{self.name}{split}"

    @property
    def feature_sets(self) -> tuple[str, ...]:
        """None: a network takes recordings and texts."""
        return ()

    @property
    def tune(self) -> bool:
        """Whether the dev part decides when to stop."""
        return self.recipe.patience is not None

    def division_seed(self, seed: int) -> int:
        """Return the seed of the division, whichever of its seeds trains on it."""
        return self.split_seed


@dataclass(frozen=True, config=_STRICT)
class LateFusion:
    """Systems of one corpus and protocol whose probabilities are put together.

    Attributes:
        corpus: The corpus.
        protocol: Split protocol of all members.
        name: Name of the fusion within its experiment.
        members: Names of Runs, ``<experiment>/<system>``, with a dev table if the rule learns; and systems on stored
            features, ``<features>/<model>/<normalisation>``.
        rule: A key of `ser_core.systems.registry.RULES`.
        average: Whether a Run's probabilities are first averaged over its seeds.
        labels: Label harmonisation.
        folds: Number of folds or ``loo``.
        seeds: Seeds, one full set of predictions each.
        splits: ``fixed`` or ``per-seed``, as all members have it.
    """

    corpus: str
    protocol: str
    name: str
    members: tuple[str, ...]
    rule: str
    average: bool
    labels: str
    folds: int | str
    seeds: tuple[int, ...]
    splits: str = "fixed"

    @property
    def folder(self) -> str:
        """Name of the Run's folder."""
        return f"{self.corpus}.{self.protocol}.{self.name}"

    @property
    def feature_sets(self) -> tuple[str, ...]:
        """The stored feature sets of the members that are fitted for the fusion, not read from a Run."""
        return tuple(system.features for system in map(self.fitted, self.members) if system)

    @property
    def tune(self) -> bool:
        """The dev part weighs the members."""
        return True

    @property
    def train_clips(self) -> None:
        """The members' Runs are of whole training parts."""
        return None

    def division_seed(self, seed: int) -> int:
        """Return the seed of the division that goes with one of its seeds."""
        return seed if self.splits == "per-seed" else 0

    def fitted(self, member: str, seed: int = 0) -> ClassicalSystem | None:
        """Return the system that a member names which is fitted for the fusion; None if the member is a Run.

        Args:
            member: One of its members.
            seed: One of its seeds.
        """
        if member.count("/") != 2:
            return None
        names = dict(zip(("features", "model", "normalisation"), member.split("/"), strict=True))
        where = {name: getattr(self, name) for name in ("corpus", "protocol", "labels", "folds", "splits")}
        return ClassicalSystem(**where, **names, seeds=(self.division_seed(seed),), tune=True, train_clips=None)


System = ClassicalSystem | NetworkSystem | LateFusion


def read(fields: dict) -> System:
    """Return the system that a ``run.json`` holds.

    Args:
        fields: What `dataclasses.asdict` made of a system.

    Raises:
        SerError: If it is not that.

    Examples:
        >>> read({"corpus": "emodb"})
        Traceback (most recent call last):
        ...
        ser_core.errors.SerError: its 'cell' is not the settings of a system: 'seeds' is missing
    """
    try:
        made = fields | {"seeds": tuple(fields["seeds"])}
        if "recipe" in made:
            settings = {name: value for name, value in made["recipe"].items() if _RETIRED.get(name, ...) != value}
            return NetworkSystem(**made | {"recipe": Recipe(**settings)})
        if "members" in made:
            return LateFusion(**made | {"members": tuple(made["members"])})
        return ClassicalSystem(**made)
    except KeyError as error:
        problem = f"{error} is missing"
    except ValidationError as error:
        first = error.errors()[0]
        problem = f"{'.'.join(map(str, first['loc']))!r}: {first['msg']}"
    except (TypeError, AttributeError) as error:
        problem = f"{type(error).__name__}: {error}"
    raise SerError(f"its 'cell' is not the settings of a system: {problem}")
