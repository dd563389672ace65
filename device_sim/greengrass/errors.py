"""The error tree of the local nucleus.

::

    NucleusError
    ├── EventStreamError          bytes that are not an event-stream frame
    │   ├── FrameChecksumError    a CRC32 does not match
    │   ├── FrameSizeError        a frame, its headers or a value is larger than allowed
    │   └── FrameFormatError      any other malformed frame
    ├── RecipeError               an unusable recipe; names file, key, value and allowed values
    │   ├── VersionError          an invalid version or version range
    │   ├── PlatformError         no manifest fits this machine
    │   ├── VariableError         a script names a variable that does not exist
    │   └── DependencyError       the dependencies cannot be met
    │       ├── MissingDependencyError   a component or a version of it without a recipe
    │       └── DependencyCycleError     a cycle of dependencies
    ├── ArtifactError             a missing, damaged or unsafe artifact
    ├── ConfigurationError        a malformed configuration or configuration change
    ├── StaleUpdateError          a configuration change older than the value that it would overwrite
    ├── DeploymentError           a deployment that is not possible or that a component rejected
    ├── ScriptError               a lifecycle script that failed or timed out
    ├── BridgeError               a publish or subscription that IoT Core or the nucleus rejects
    ├── DaemonError               an unknown daemon or a malformed control request
    ├── StartError                this nucleus cannot start: arguments, permissions, a root in use
    └── OperationError            error answer of an IPC call; see operations/base.py
"""


class NucleusError(Exception):
    """Base of every error that this package raises."""


class EventStreamError(NucleusError):
    """Bytes that are not an event-stream frame."""


class FrameChecksumError(EventStreamError):
    """A frame's CRC32 does not match its bytes."""


class FrameSizeError(EventStreamError):
    """A frame, its headers or a header's value is larger than allowed."""


class FrameFormatError(EventStreamError):
    """A frame is malformed in another way."""


class RecipeError(NucleusError):
    """An unusable recipe; names file, key, value and allowed values."""


class VersionError(RecipeError):
    """An invalid version or version range."""


class PlatformError(RecipeError):
    """No manifest of the recipe fits this machine."""


class VariableError(RecipeError):
    """A script names a variable that does not exist."""


class DependencyError(RecipeError):
    """The dependencies of the components to deploy cannot be met."""


class MissingDependencyError(DependencyError):
    """A component, or a version of it, without a recipe."""


class DependencyCycleError(DependencyError):
    """A cycle of dependencies."""


class ArtifactError(NucleusError):
    """A missing, damaged or unsafe artifact."""


class ConfigurationError(NucleusError):
    """A malformed configuration or configuration change."""


class StaleUpdateError(NucleusError):
    """A configuration change that is older than the value that it would overwrite."""


class DeploymentError(NucleusError):
    """A deployment that is not possible or that a component rejected."""


class ScriptError(NucleusError):
    """A lifecycle script that failed or timed out."""


class BridgeError(NucleusError):
    """A publish or subscription that IoT Core or the nucleus rejects."""


class DaemonError(NucleusError):
    """An unknown daemon or a malformed control request."""


class StartError(NucleusError):
    """This nucleus cannot start."""


class OperationError(NucleusError):
    """Error answer of an IPC call: an error ``kind`` of the model (such as ``UnauthorizedError``) and a text."""

    def __init__(self, kind: str, text: str, **fields: str) -> None:
        super().__init__(text)
        self.kind, self.text, self.fields = kind, text, fields
