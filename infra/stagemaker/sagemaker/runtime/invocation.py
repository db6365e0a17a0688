"""An invocation: which variant, which instance, through which containers, and what comes of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from stagemaker.sagemaker.runtime.choice import Chooser
from stagemaker.sagemaker.runtime.connection import ContainerAnswer, ContainerError, Header, RefusedError, request_bytes
from stagemaker.sagemaker.runtime.data_capture import DataCapture, Payload, Record
from stagemaker.sagemaker.runtime.errors import (
    LARGEST_BETWEEN,
    Place,
    RuntimeApiError,
    UnavailableError,
    not_found,
    too_large_between,
    unanswered,
    unsuccessful,
)
from stagemaker.sagemaker.runtime.metrics import InvocationMetrics, Observed, Source
from stagemaker.sagemaker.runtime.pool import CrowdedError, Pool
from stagemaker.sagemaker.runtime.route import Container, ExecutionMode, Instance, Route, Routes, VariantRoute

TIME_LIMIT = 60.0
"""Seconds that the containers have in all: a client of AWS's waits no longer for any of its answers."""

CUSTOM_ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"
_MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class InvokeRequest:
    """A request to an endpoint. What the client did not send is None. `began`: by `time.perf_counter`."""

    place: Place
    body: bytes
    began: float
    content_type: str | None = None
    accept: str | None = None
    custom_attributes: str | None = None
    inference_id: str | None = None
    target_variant: str | None = None
    target_container: str | None = None

    def handed_on(self) -> Iterator[Header]:
        """The headers that every container gets beside Content-Type."""
        if self.accept is not None:
            yield "accept", self.accept
        if self.custom_attributes is not None:
            yield CUSTOM_ATTRIBUTES, self.custom_attributes
        if self.inference_id is not None:
            yield "x-amzn-sagemaker-inference-id", self.inference_id


@dataclass(frozen=True, slots=True)
class Invoked:
    """The last container's answer, a 2XX, and the variant that gave it."""

    answer: ContainerAnswer
    variant: str


@dataclass(slots=True)
class _Course:
    """How far an invocation has come: the seconds in each container that it was sent to, and the last status."""

    latencies: list[tuple[str, float]] = field(default_factory=list)
    status: int = 0


class Invoker:
    """Carries invocations out. Nothing here waits for the control plane, and no request is sent to a model twice."""

    def __init__(
        self, routes: Routes, pool: Pool, chooser: Chooser, metrics: InvocationMetrics, capture: DataCapture
    ) -> None:
        self._routes = routes
        self._pool = pool
        self._chooser = chooser
        self._metrics = metrics
        self._capture = capture

    async def invoke(self, request: InvokeRequest) -> Invoked:
        """Raises AwsError: ValidationError, ModelError, ServiceUnavailable."""
        route = self._routes.route(request.place.region, request.place.endpoint)
        if route is None:
            raise not_found(request.place)
        variant = self._variant(route, request)
        _check_container(variant, request)
        course = _Course()
        try:
            answer = await self._ask_an_instance(request, variant, course)
        finally:
            self._observe(request, variant, course)
        if route.capture is not None and self._capture.wants(route.capture):
            self._take(request, route, variant, answer)
        return Invoked(answer, variant.name)

    def _variant(self, route: Route, request: InvokeRequest) -> VariantRoute:
        """The one that is asked for, else one by chance. Raises AwsError."""
        variants = route.variants
        if request.target_variant is not None:
            # While traffic shifts to a new fleet a variant may be there twice.
            variants = tuple(variant for variant in variants if variant.name == request.target_variant)
            if not variants:
                raise RuntimeApiError(f"Variant {request.target_variant} not found for endpoint {route.endpoint}.")
        chosen = self._chooser.variant(variants)
        if chosen is not None:
            return chosen
        if request.target_variant is None:
            raise UnavailableError(f"No production variant of endpoint {route.endpoint} has a weight above 0.")
        return next((variant for variant in variants if variant.instances), variants[0])

    async def _ask_an_instance(self, request: InvokeRequest, variant: VariantRoute, course: _Course) -> ContainerAnswer:
        """One instance after another until one takes the connection: what has reached no container can go elsewhere."""
        deadline = asyncio.get_running_loop().time() + TIME_LIMIT
        for instance in self._chooser.instances(variant.instances, self._under_way):
            chain = _chain(request, instance)
            try:
                return await self._ask_chain(request, chain, deadline, course)
            except RefusedError:
                course.latencies.clear()
            except CrowdedError:
                course.latencies.clear()
                raise UnavailableError(
                    f"Too many requests wait for variant {variant.name} of endpoint {request.place.endpoint}."
                ) from None
        raise UnavailableError(
            f"No instance of variant {variant.name} of endpoint {request.place.endpoint} takes requests now."
        )

    def _under_way(self, instance: Instance) -> int:
        return sum(self._pool.under_way(container) for container in instance.containers)

    async def _ask_chain(
        self, request: InvokeRequest, chain: tuple[Container, ...], deadline: float, course: _Course
    ) -> ContainerAnswer:
        """Each container gets the body and the content type of the answer before it. Raises AwsError, RefusedError."""
        body, content_type = request.body, request.content_type
        handed_on = tuple(request.handed_on())
        for number, container in enumerate(chain):
            typed = () if content_type is None else (("content-type", content_type),)
            sent = request_bytes(f"{container.host}:{container.port}", (*typed, *handed_on), body)
            began = time.perf_counter()
            course.status = 0
            try:
                answer = await self._pool.ask(container, sent, deadline)
            except RefusedError as error:
                if number == 0:
                    raise
                raise unanswered(request.place, container.name, error) from error
            except ContainerError as error:
                raise unanswered(request.place, container.name, error) from error
            finally:
                course.latencies.append((container.name, time.perf_counter() - began))
            course.status = answer.status
            if not answer.is_success:
                raise unsuccessful(request.place, container.name, answer)
            if number + 1 < len(chain) and len(answer.body) > LARGEST_BETWEEN:
                course.status = 0  # the container's was 2XX, and the invocation has failed
                raise too_large_between(request.place, container.name, chain[number + 1].name, answer)
            body, content_type = answer.body, answer.headers.get("content-type")
        return answer

    def _observe(self, request: InvokeRequest, variant: VariantRoute, course: _Course) -> None:
        total = time.perf_counter() - request.began
        asked = sum(seconds for _, seconds in course.latencies)
        several = any(len(instance.containers) > 1 for instance in variant.instances)
        containers = [(name, seconds * _MICROSECONDS) for name, seconds in course.latencies] if several else ()
        self._metrics.observe(
            Source(request.place.region, request.place.endpoint, variant.name),
            Observed(
                course.status,
                variant.instance_count,
                asked * _MICROSECONDS if course.latencies else None,
                max(0.0, total - asked) * _MICROSECONDS,
                containers,
            ),
        )

    def _take(self, request: InvokeRequest, route: Route, variant: VariantRoute, answer: ContainerAnswer) -> None:
        assert route.capture is not None
        record = Record(
            datetime.now(UTC),
            Payload(request.content_type or "", request.body),
            Payload(answer.headers.get("content-type", ""), answer.body),
            request.custom_attributes or "",
            request.inference_id or "",
        )
        self._capture.take(request.place.region, route.endpoint, variant.name, route.capture, record)


def _check_container(variant: VariantRoute, request: InvokeRequest) -> None:
    """TargetContainerHostname belongs to the Mode Direct, and must name a container there. Raises AwsError."""
    endpoint, target = request.place.endpoint, request.target_container
    if variant.mode is ExecutionMode.SERIAL:
        if target is not None:
            raise RuntimeApiError(
                f"Endpoint {endpoint} does not invoke its containers directly: TargetContainerHostname is only for "
                "models whose InferenceExecutionConfig has the Mode Direct."
            )
    elif target is None:
        raise RuntimeApiError(
            f"Endpoint {endpoint} invokes its containers directly: the request must name one of them with "
            "TargetContainerHostname."
        )
    elif variant.instances and not _chain(request, variant.instances[0]):
        raise RuntimeApiError(f"Endpoint {endpoint} has no container with the host name {target}.")


def _chain(request: InvokeRequest, instance: Instance) -> tuple[Container, ...]:
    """The containers that the request goes through."""
    if request.target_container is None:
        return instance.containers
    return tuple(container for container in instance.containers if container.name == request.target_container)
