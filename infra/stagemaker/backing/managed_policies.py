"""AWS's managed policies that the labs attach and ministack does not have.

Written from what AWS documents each policy to allow, for the services and actions that the stage
knows; shorter than AWS's own texts, and so is every difference: they allow less of what is not here.
"""

# ruff: noqa: SLF001 - private names of ministack are what this is about; ministack_patches.TOUCHED lists them

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

PREFIX = "arn:aws:iam::aws:policy/"

Statement = dict[str, Any]


def _allow(
    actions: str | Sequence[str], resources: str | Sequence[str] = "*", condition: dict[str, Any] | None = None
) -> Statement:
    action = actions if isinstance(actions, str) else list(actions)
    resource = resources if isinstance(resources, str) else list(resources)
    statement: Statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    return {**statement, "Condition": condition} if condition else statement


_SAGEMAKER_BUCKETS = [f"arn:aws:s3:::*{word}*" for word in ("SageMaker", "Sagemaker", "sagemaker", "aws-glue")]

_SAGEMAKER_FULL_ACCESS = [
    _allow("sagemaker:*"),
    # Objects in buckets with the service's name, or that carry its tag; the buckets themselves; no others.
    _allow(
        ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"],
        _SAGEMAKER_BUCKETS,
    ),
    _allow("s3:GetObject", "*", {"StringEqualsIgnoreCase": {"s3:ExistingObjectTag/SageMaker": "true"}}),
    _allow(
        [
            "s3:CreateBucket",
            "s3:GetBucketLocation",
            "s3:ListBucket",
            "s3:ListAllMyBuckets",
            "s3:GetBucketCors",
            "s3:PutBucketCors",
        ]
    ),
    _allow(["s3:GetBucketAcl", "s3:PutObjectAcl"], _SAGEMAKER_BUCKETS),
    _allow(
        [
            "cloudwatch:DeleteAlarms",
            "cloudwatch:DescribeAlarms",
            "cloudwatch:GetMetricData",
            "cloudwatch:GetMetricStatistics",
            "cloudwatch:ListMetrics",
            "cloudwatch:PutMetricAlarm",
            "cloudwatch:PutMetricData",
            "logs:CreateLogDelivery",
            "logs:CreateLogGroup",
            "logs:CreateLogStream",
            "logs:DeleteLogDelivery",
            "logs:Describe*",
            "logs:FilterLogEvents",
            "logs:GetLogDelivery",
            "logs:GetLogEvents",
            "logs:ListLogDeliveries",
            "logs:PutLogEvents",
            "logs:PutResourcePolicy",
            "logs:UpdateLogDelivery",
        ]
    ),
    _allow(
        [
            "application-autoscaling:DeleteScalingPolicy",
            "application-autoscaling:DeleteScheduledAction",
            "application-autoscaling:DeregisterScalableTarget",
            "application-autoscaling:DescribeScalableTargets",
            "application-autoscaling:DescribeScalingActivities",
            "application-autoscaling:DescribeScalingPolicies",
            "application-autoscaling:DescribeScheduledActions",
            "application-autoscaling:PutScalingPolicy",
            "application-autoscaling:PutScheduledAction",
            "application-autoscaling:RegisterScalableTarget",
        ]
    ),
    _allow(
        [
            "ecr:BatchCheckLayerAvailability",
            "ecr:BatchGetImage",
            "ecr:CreateRepository",
            "ecr:Describe*",
            "ecr:GetAuthorizationToken",
            "ecr:GetDownloadUrlForLayer",
            "ecr:StartImageScan",
        ]
    ),
    _allow(
        [
            "ec2:CreateNetworkInterface",
            "ec2:CreateNetworkInterfacePermission",
            "ec2:DeleteNetworkInterface",
            "ec2:DeleteNetworkInterfacePermission",
            "ec2:DescribeDhcpOptions",
            "ec2:DescribeNetworkInterfaces",
            "ec2:DescribeRouteTables",
            "ec2:DescribeSecurityGroups",
            "ec2:DescribeSubnets",
            "ec2:DescribeVpcEndpoints",
            "ec2:DescribeVpcs",
        ]
    ),
    _allow(
        ["kms:DescribeKey", "kms:ListAliases", "iam:GetRole", "iam:ListRoles", "sns:ListTopics", "tag:GetResources"]
    ),
    _allow(["sns:CreateTopic", "sns:Publish", "sns:Subscribe"], "arn:aws:sns:*:*:*SageMaker*"),
    _allow(
        ["secretsmanager:CreateSecret", "secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"],
        "arn:aws:secretsmanager:*:*:secret:AmazonSageMaker-*",
    ),
    _allow(
        "iam:PassRole",
        "arn:aws:iam::*:role/*",
        {
            "StringEquals": {
                "iam:PassedToService": [
                    "events.amazonaws.com",
                    "glue.amazonaws.com",
                    "sagemaker.amazonaws.com",
                    "states.amazonaws.com",
                ]
            }
        },
    ),
    _allow(
        "iam:CreateServiceLinkedRole",
        "arn:aws:iam::*:role/aws-service-role/sagemaker.application-autoscaling.amazonaws.com/*",
        {"StringLike": {"iam:AWSServiceName": "sagemaker.application-autoscaling.amazonaws.com"}},
    ),
]

_METRICS_READ = ["cloudwatch:Describe*", "cloudwatch:Get*", "cloudwatch:List*"]
_LOGS_READ = ["logs:Describe*", "logs:Get*", "logs:List*", "logs:FilterLogEvents", "logs:StartQuery", "logs:StopQuery"]
_ECR_READ = [
    "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGetImage",
    "ecr:DescribeImages",
    "ecr:DescribeRepositories",
    "ecr:GetAuthorizationToken",
    "ecr:GetDownloadUrlForLayer",
    "ecr:GetRepositoryPolicy",
    "ecr:ListImages",
    "ecr:ListTagsForResource",
]

POLICIES: dict[str, tuple[str, list[Statement]]] = {
    "AmazonSageMakerFullAccess": (
        "Full access to SageMaker, and to what it needs of other services.",
        _SAGEMAKER_FULL_ACCESS,
    ),
    "AmazonSageMakerReadOnly": (
        "Read access to SageMaker, and to its metrics and logs.",
        [_allow(["sagemaker:BatchGet*", "sagemaker:Describe*", "sagemaker:Get*", "sagemaker:List*",
                 "sagemaker:Search"]),
         _allow([*_METRICS_READ, *_LOGS_READ, "application-autoscaling:Describe*"])],
    ),
    "CloudWatchFullAccess": (
        "Full access to CloudWatch and CloudWatch Logs.",
        [_allow(["autoscaling:Describe*", "cloudwatch:*", "logs:*", "sns:*", "iam:GetPolicy", "iam:GetPolicyVersion",
                 "iam:GetRole"])],
    ),
    "CloudWatchFullAccessV2": (
        "Full access to CloudWatch and CloudWatch Logs.",
        [_allow(["cloudwatch:*", "logs:*", "sns:CreateTopic", "sns:ListSubscriptions", "sns:ListTopics",
                 "sns:ListSubscriptionsByTopic", "sns:Subscribe", "iam:GetPolicy", "iam:GetPolicyVersion",
                 "iam:GetRole"])],
    ),
    "CloudWatchReadOnlyAccess": (
        "Read access to CloudWatch and CloudWatch Logs.",
        [_allow([*_METRICS_READ, *_LOGS_READ, "autoscaling:Describe*", "sns:Get*", "sns:List*"])],
    ),
    "CloudWatchLogsReadOnlyAccess": ("Read access to CloudWatch Logs.", [_allow(_LOGS_READ)]),
    "AmazonEC2ContainerRegistryFullAccess": ("Full access to ECR.", [_allow(["ecr:*", "cloudtrail:LookupEvents"])]),
    "AmazonEC2ContainerRegistryReadOnly": ("Read access to the repositories and images of ECR.", [_allow(_ECR_READ)]),
    "AmazonEventBridgeFullAccess": (
        "Full access to EventBridge.",
        [_allow(["events:*", "schemas:*", "scheduler:*", "pipes:*"]),
         _allow("iam:PassRole", "*", {"StringLike": {"iam:PassedToService": ["events.amazonaws.com",
                                                                             "scheduler.amazonaws.com"]}})],
    ),
    "AmazonSNSReadOnlyAccess": ("Read access to SNS.", [_allow(["sns:Get*", "sns:List*"])]),
    "AmazonSQSReadOnlyAccess": (
        "Read access to SQS.",
        [_allow(["sqs:GetQueueAttributes", "sqs:GetQueueUrl", "sqs:ListDeadLetterSourceQueues", "sqs:ListQueues",
                 "sqs:ListQueueTags"])],
    ),
    "SecretsManagerReadWrite": ("Full access to Secrets Manager.", [_allow("secretsmanager:*")]),
    "AmazonSSMReadOnlyAccess": (
        "Read access to Systems Manager.",
        [_allow(["ssm:Describe*", "ssm:Get*", "ssm:List*"])],
    ),
    "AmazonSSMFullAccess": ("Full access to Systems Manager.", [_allow("ssm:*")]),
    "AWSKeyManagementServicePowerUser": (
        "Access to KMS without the administration of keys.",
        [_allow(["kms:CreateAlias", "kms:CreateKey", "kms:DeleteAlias", "kms:Describe*", "kms:GenerateRandom",
                 "kms:Get*", "kms:List*", "kms:TagResource", "kms:UntagResource", "iam:ListGroups", "iam:ListRoles",
                 "iam:ListUsers"])],
    ),
    "AWSCloudTrail_ReadOnlyAccess": (
        "Read access to CloudTrail.",
        [_allow(["cloudtrail:Describe*", "cloudtrail:Get*", "cloudtrail:List*", "cloudtrail:LookupEvents"])],
    ),
    "AWSCloudTrail_FullAccess": (
        "Full access to CloudTrail, and to the buckets and log groups that it writes to.",
        [_allow(["cloudtrail:*", "s3:ListAllMyBuckets", "kms:ListAliases"]),
         _allow(["s3:CreateBucket", "s3:PutBucketPolicy", "s3:PutBucketPublicAccessBlock"],
                "arn:aws:s3:::aws-cloudtrail-logs*"),
         _allow("logs:CreateLogGroup", "arn:aws:logs:*:*:log-group:aws-cloudtrail-logs*"),
         _allow("iam:PassRole", "*", {"StringEquals": {"iam:PassedToService": "cloudtrail.amazonaws.com"}})],
    ),
    "AWSStepFunctionsFullAccess": ("Full access to Step Functions.", [_allow("states:*")]),
    "AmazonAthenaFullAccess": (
        "Full access to Athena, to the Glue catalogue, and to buckets for query results.",
        [_allow(["athena:*", "glue:BatchGet*", "glue:Create*", "glue:Delete*", "glue:Get*", "glue:Update*"]),
         _allow(["s3:GetBucketLocation", "s3:GetObject", "s3:ListBucket", "s3:PutObject", "s3:AbortMultipartUpload",
                 "s3:CreateBucket", "s3:ListBucketMultipartUploads", "s3:ListMultipartUploadParts"],
                "arn:aws:s3:::aws-athena-query-results-*"),
         _allow(["s3:ListAllMyBuckets", "s3:GetBucketLocation", "s3:ListBucket"])],
    ),
    "service-role/AWSGlueServiceRole": (
        "What a Glue job or crawler needs.",
        [_allow(["glue:*", "s3:GetBucketLocation", "s3:ListBucket", "s3:ListAllMyBuckets", "s3:GetBucketAcl",
                 "iam:ListRolePolicies", "iam:GetRole", "iam:GetRolePolicy", "cloudwatch:PutMetricData"]),
         _allow(["s3:CreateBucket", "s3:PutBucketPublicAccessBlock"], "arn:aws:s3:::aws-glue-*"),
         _allow(["s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
                ["arn:aws:s3:::aws-glue-*/*", "arn:aws:s3:::*/*aws-glue-*/*"]),
         _allow(["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
                "arn:aws:logs:*:*:*:/aws-glue/*")],
    ),
    "AmazonSageMakerFeatureStoreAccess": (
        "What the offline store of SageMaker Feature Store needs of S3.",
        [_allow(["s3:PutObject", "s3:GetBucketAcl", "s3:PutObjectAcl"], _SAGEMAKER_BUCKETS[:3])],
    ),
    "AmazonSageMakerModelRegistryFullAccess": (
        "Full access to the SageMaker model registry.",
        [_allow(["sagemaker:*Model*", "sagemaker:AddTags", "sagemaker:DeleteTags", "sagemaker:ListTags",
                 "sagemaker:Search"])],
    ),
}  # fmt: skip
"""By name: a description and the statements."""


def add(iam: Any) -> None:
    """Give ministack's `iam` the policies that it has not."""
    for name, (description, statements) in POLICIES.items():
        document = json.dumps({"Version": "2012-10-17", "Statement": statements})
        record = iam._make_aws_managed_record(name, document, description)
        iam._aws_managed_policies.setdefault(PREFIX + name, record)
