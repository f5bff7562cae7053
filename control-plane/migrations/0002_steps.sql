-- Experiments of before there were steps: scope and steps instead of selector, mode, entity, percent and
-- minWindows.
UPDATE experiments
SET body = json_set(
        json_remove(body, '$.spec.selector', '$.spec.mode', '$.spec.entity', '$.spec.percent', '$.spec.minWindows'),
        '$.spec.scope', json_object('selector', json(coalesce(json_extract(body, '$.spec.selector'), '{}'))),
        '$.spec.steps', CASE json_extract(body, '$.spec.mode')
            WHEN 'split' THEN json_array(json_object(
                'step', 'ramp',
                'by', 'entity',
                'entity', json(json_extract(body, '$.spec.entity')),
                'to', json_array(json_extract(body, '$.spec.percent') || '%'),
                'minWindows', json_extract(body, '$.spec.minWindows')))
            ELSE json_array(json_object(
                'step', 'shadow',
                'minWindows', json_extract(body, '$.spec.minWindows')))
        END)
WHERE json_type(body, '$.spec.steps') IS NULL;
