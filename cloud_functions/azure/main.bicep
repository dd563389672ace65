// The function app of Strandline in Azure. Not yet proven in an account: see docs/clouds.md.
//
//   az deployment group create --resource-group strandline --template-file cloud_functions/azure/main.bicep
//
// Created: a storage account for the data (tables, queues, blobs in the layout of Data Lake Gen2), one for the runtime of
// the functions, an IoT Hub with a consumer group, a function app with an identity of its own, and the roles it needs.

@description('Beginning of the names of all resources: lower-case letters and digits.')
@minLength(3)
@maxLength(11)
param name string = 'strandline'

param location string = resourceGroup().location

@description('Units of the IoT Hub; a unit of S1 takes 400,000 messages of 4 KB a day.')
@minValue(1)
param hubUnits int = 1

@description('Days for which batches are kept as they came.')
@minValue(2)
param rawDays int = 7

@description('Days for which roll-ups and reports are kept.')
param retentionDays int = 90

@description('Way of acknowledgements: a message, which waits for a gateway, or a direct method.')
@allowed(['message', 'method'])
param acknowledgeBy string = 'message'

@description('Client id of the app registration in Entra ID whose app roles are viewer, operator and admin.')
param apiClientId string

@description('Address of the page, for links in notifications; empty for none.')
param pageUrl string = ''

@description('Endpoint of a resource of Communication Services and its verified sender, for e-mails; empty for none.')
param emailUrl string = ''
param emailFrom string = ''

var unique = uniqueString(resourceGroup().id, name)
var dataName = take('${name}d${unique}', 24)
var runtimeName = take('${name}r${unique}', 24)
var channels = ['sns', 'email', 'webhook', 'eventbridge', 'mqtt', 'stepfunctions']
var queueNames = concat(['retry', 'changes'], map(channels, kind => 'channel-${kind}'))

// Blob, queue and table data of one account; no right to its keys or its configuration.
var blobContributor = 'ba92f5b4-2d11-453d-a403-e96b0029c9fe'
var queueContributor = '974c5e8b-45b9-4653-ba55-5f855dd0fb88'
var tableContributor = '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3'
var blobOwner = 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'

resource data 'Microsoft.Storage/storageAccounts@2023-05-01' = {
  name: dataName
  location: location
  kind: 'StorageV2'
  sku: {name: 'Standard_ZRS'}
  properties: {
    isHnsEnabled: true // Data Lake Storage Gen2: rows/date=<day> is a folder
    allowSharedKeyAccess: false
    allowBlobPublicAccess: false
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
  }

  resource tables 'tableServices' = {
    name: 'default'
    resource telemetry 'tables' = {name: 'telemetry'}
    resource alerts 'tables' = {name: 'alerts'}
  }

  resource queues 'queueServices' = {
    name: 'default'
    resource each 'queues' = [for queue in queueNames: {name: queue}]
  }

  resource blobs 'blobServices' = {
    name: 'default'
    resource archive 'containers' = {name: 'archive'}
    resource deadLetters 'containers' = {name: 'dead-letters'}
    resource large 'containers' = {name: 'large'}
  }

  resource lifecycle 'managementPolicies' = {
    name: 'default'
    properties: {
      policy: {
        rules: [
          {
            name: 'expire'
            type: 'Lifecycle'
            definition: {
              actions: {baseBlob: {delete: {daysAfterModificationGreaterThan: 14}}}
              filters: {blobTypes: ['blockBlob'], prefixMatch: ['dead-letters/', 'large/']}
            }
          }
        ]
      }
    }
  }
}

resource runtime 'Microsoft.Storage/storageAccounts@2023-05-01' = {
  name: runtimeName
  location: location
  kind: 'StorageV2'
  sku: {name: 'Standard_LRS'}
  properties: {
    allowSharedKeyAccess: false
    allowBlobPublicAccess: false
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
  }

  resource blobs 'blobServices' = {
    name: 'default'
    resource packages 'containers' = {name: 'packages'}
  }
}

resource hub 'Microsoft.Devices/IotHubs@2023-06-30' = {
  name: '${name}-${unique}'
  location: location
  sku: {name: 'S1', capacity: hubUnits}
  properties: {
    minTlsVersion: '1.2'
    eventHubEndpoints: {events: {retentionTimeInDays: 7, partitionCount: 4}}
    // An acknowledgement is covered by the next: an old one need not be delivered.
    cloudToDevice: {defaultTtlAsIso8601: 'PT1M', maxDeliveryCount: 1}
    authorizationPolicies: [
      {keyName: 'functions', rights: 'ServiceConnect'}
    ]
  }

  resource consumers 'eventHubEndpoints@2023-06-30' existing = {
    name: 'events'
    resource strandline 'ConsumerGroups' = {
      name: 'strandline'
      properties: {name: 'strandline'}
    }
  }
}

resource vault 'Microsoft.KeyVault/vaults@2023-07-01' = {
  name: take('${name}-${unique}', 24)
  location: location
  properties: {
    tenantId: subscription().tenantId
    sku: {family: 'A', name: 'standard'}
    enableRbacAuthorization: true
    enablePurgeProtection: true
  }

  // IoT Hub's endpoints of events and of devices take the key of a policy; the app reads it from the vault.
  resource service 'secrets' = {
    name: 'iothub-service'
    properties: {
      value: 'HostName=${hub.properties.hostName};SharedAccessKeyName=functions;SharedAccessKey=${hub.listKeys().value[0].primaryKey}'
    }
  }

  resource events 'secrets' = {
    name: 'iothub-events'
    properties: {
      value: 'Endpoint=${hub.properties.eventHubEndpoints.events.endpoint};SharedAccessKeyName=functions;SharedAccessKey=${hub.listKeys().value[0].primaryKey};EntityPath=${hub.properties.eventHubEndpoints.events.path}'
    }
  }
}

// Channels of the types sns and eventbridge: subscribers receive CloudEvents.
resource topics 'Microsoft.EventGrid/topics@2022-06-15' = [
  for topic in ['alerts', 'events']: {
    name: '${name}-${topic}-${unique}'
    location: location
    properties: {inputSchema: 'CloudEventSchemaV1_0', disableLocalAuth: true}
  }
]

resource logs 'Microsoft.OperationalInsights/workspaces@2023-09-01' = {
  name: '${name}-${unique}'
  location: location
  properties: {sku: {name: 'PerGB2018'}, retentionInDays: 30}
}

resource insights 'Microsoft.Insights/components@2020-02-02' = {
  name: '${name}-${unique}'
  location: location
  kind: 'web'
  properties: {Application_Type: 'web', WorkspaceResourceId: logs.id, DisableLocalAuth: true}
}

resource plan 'Microsoft.Web/serverfarms@2024-04-01' = {
  name: '${name}-${unique}'
  location: location
  kind: 'functionapp'
  sku: {tier: 'FlexConsumption', name: 'FC1'}
  properties: {reserved: true}
}

resource app 'Microsoft.Web/sites@2024-04-01' = {
  name: '${name}-${unique}'
  location: location
  kind: 'functionapp,linux'
  identity: {type: 'SystemAssigned'}
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: '${runtime.properties.primaryEndpoints.blob}packages'
          authentication: {type: 'SystemAssignedIdentity'}
        }
      }
      scaleAndConcurrency: {maximumInstanceCount: 40, instanceMemoryMB: 2048}
      runtime: {name: 'python', version: '3.11'}
    }
    siteConfig: {
      minTlsVersion: '1.2'
      appSettings: [
        {name: 'AzureWebJobsStorage__accountName', value: runtime.name}
        {name: 'STORAGE__accountName', value: data.name}
        {name: 'STORAGE_ACCOUNT', value: data.name}
        {name: 'IOTHUB_EVENTS_NAME', value: hub.properties.eventHubEndpoints.events.path}
        {name: 'IOTHUB_EVENTS', value: '@Microsoft.KeyVault(SecretUri=${vault::events.properties.secretUri})'}
        {name: 'IOTHUB_SERVICE', value: '@Microsoft.KeyVault(SecretUri=${vault::service.properties.secretUri})'}
        {name: 'APPLICATIONINSIGHTS_CONNECTION_STRING', value: insights.properties.ConnectionString}
        {name: 'APPLICATIONINSIGHTS_AUTHENTICATION_STRING', value: 'Authorization=AAD'}
        // The handlers are of one thread; the platform starts more instances instead.
        {name: 'PYTHON_THREADPOOL_THREAD_COUNT', value: '1'}
        {name: 'ALERTS_TOPIC', value: topics[0].properties.endpoint}
        {name: 'EVENTS_TOPIC', value: topics[1].properties.endpoint}
        {name: 'VAULT', value: vault.properties.vaultUri}
        {name: 'DASHBOARD_URL', value: pageUrl}
        {name: 'EMAIL_URL', value: emailUrl}
        {name: 'EMAIL_FROM', value: emailFrom}
        {name: 'RAW_DAYS', value: string(rawDays)}
        {name: 'RETENTION_DAYS', value: string(retentionDays)}
        {name: 'ACKNOWLEDGE_BY', value: acknowledgeBy}
      ]
    }
  }
}

// The API accepts only requests with a token that this checks; it passes the claims on.
resource authentication 'Microsoft.Web/sites/config@2024-04-01' = {
  parent: app
  name: 'authsettingsV2'
  properties: {
    platform: {enabled: true}
    globalValidation: {requireAuthentication: true, unauthenticatedClientAction: 'Return401'}
    httpSettings: {requireHttps: true}
    identityProviders: {
      azureActiveDirectory: {
        enabled: true
        registration: {
          clientId: apiClientId
          openIdIssuer: '${environment().authentication.loginEndpoint}${tenant().tenantId}/v2.0'
        }
        validation: {allowedAudiences: [apiClientId, 'api://${apiClientId}']}
      }
    }
    login: {tokenStore: {enabled: false}}
  }
}

resource topicRoles 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for at in range(0, 2): {
    name: guid(topics[at].id, app.id, 'events')
    scope: topics[at]
    properties: {
      principalId: app.identity.principalId
      principalType: 'ServicePrincipal'
      // EventGrid Data Sender.
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', 'd5a91429-5739-47e2-a06b-3470a27159e7')
    }
  }
]

resource dataRoles 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in [blobContributor, queueContributor, tableContributor]: {
    name: guid(data.id, app.id, role)
    scope: data
    properties: {
      principalId: app.identity.principalId
      principalType: 'ServicePrincipal'
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role)
    }
  }
]

// What the runtime of the functions needs for leases of timers, checkpoints and the package.
resource runtimeRoles 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in [blobOwner, queueContributor, tableContributor]: {
    name: guid(runtime.id, app.id, role)
    scope: runtime
    properties: {
      principalId: app.identity.principalId
      principalType: 'ServicePrincipal'
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role)
    }
  }
]

resource vaultRole 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(vault.id, app.id, 'secrets')
  scope: vault
  properties: {
    principalId: app.identity.principalId
    principalType: 'ServicePrincipal'
    // Key Vault Secrets User: reads the values of secrets.
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '4633458b-17de-408a-b874-0445c86b69e6')
  }
}

resource metricsRole 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(insights.id, app.id, 'metrics')
  scope: insights
  properties: {
    principalId: app.identity.principalId
    principalType: 'ServicePrincipal'
    // Monitoring Metrics Publisher.
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '3913510d-42f4-4e42-8a64-420c390055eb')
  }
}

output functionApp string = app.name
output api string = 'https://${app.properties.defaultHostName}/v1'
output hubHost string = hub.properties.hostName
output archive string = '${data.properties.primaryEndpoints.dfs}archive/rows/'
